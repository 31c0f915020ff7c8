"""FastAPI's forms, through this library's parser; the extra ``fastapi``.

:class:`MultipartRoute` is for an application that exists: ``Form()``, ``File()`` and ``UploadFile`` as before, under
asyncio or trio. :class:`MultipartForm` is a dependency that gives a pydantic model, its files streamed to where they
belong; it needs asyncio.
"""

import enum
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, ClassVar, Final, Generic, Self, TypeVar, cast, get_args, get_origin

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from starlette.exceptions import HTTPException

from aiomultipart.exceptions import MultipartError
from aiomultipart.forms.asynchronous import read_form
from aiomultipart.forms.model import Form, UploadedFile
from aiomultipart.limits import Limits
from aiomultipart.policy import Policy
from aiomultipart.targets import TargetFactory

from .starlette import FormRequest, answer_problem, raise_as_http

__all__ = ("MultipartForm", "MultipartRoute", "answer_problem")

M = TypeVar("M", bound=BaseModel)

_LISTS: Final = (list, tuple, set, frozenset)


class MultipartRoute(APIRoute):
    """A route of FastAPI whose forms are read by this library's parser; nothing else changes, OpenAPI included.

    ``APIRouter(route_class=MultipartRoute)`` for a router, ``app.router.route_class = MultipartRoute`` for an
    application.
    """

    request_class: ClassVar[type[FormRequest]] = FormRequest

    @classmethod
    def configured(cls, *, limits: Limits | None = None, policy: Policy | None = None) -> type[Self]:
        """A subclass whose forms have bounds, and a policy, of their own."""
        request_class = cls.request_class.configured(limits=limits, policy=policy)
        return cast("type[Self]", type(cls.__name__, (cls,), {"request_class": request_class}))

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Of FastAPI's own, with another request."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            with_form = self.request_class(request.scope, request.receive)
            try:
                return await handler(with_form)
            except HTTPException as exc:
                # FastAPI makes one of whatever goes wrong with a body.
                if with_form.error is not None and exc.__cause__ is with_form.error:
                    raise_as_http(request, with_form.error)
                raise

        return handle


class MultipartForm(Generic[M]):
    """A dependency that reads a form into a pydantic model: ``Annotated[Photo, Depends(MultipartForm(Photo))]``.

    :param model: its fields are what pydantic makes of text (``str``, numbers, bool, enums, dates), an
        :class:`UploadedFile`, or a list of these. A field that is empty counts as missing, as FastAPI has it.
    :param limits: bounds, ``Limits.for_forms()`` if not given.
    :param policy: how odd constructs are read.
    :param targets: where files go: factories of targets by field name, or one for all. It is for many requests, so a
        target cannot stand in place of a factory.
    :param default: makes the target of any other file.
    :raises TypeError: a target stands in place of a factory.

    The form is closed after the path operation. When that raises, or the model is not valid, what targets saved is
    undone.
    """

    def __init__(
        self,
        model: type[M],
        *,
        limits: Limits | None = None,
        policy: Policy = Policy.STANDARD,
        targets: Mapping[str, TargetFactory] | TargetFactory | None = None,
        default: TargetFactory | None = None,
    ) -> None:
        factories = [*targets.values()] if isinstance(targets, Mapping) else [] if targets is None else [targets]
        for factory in factories if default is None else [*factories, default]:
            if not callable(factory):
                raise TypeError(f"{factory!r} takes one part; a form of many requests needs a factory that makes it")
        self._model = model
        self._limits = limits
        self._policy = policy
        self._targets = targets
        self._default = default

    async def __call__(self, request: Request) -> AsyncIterator[M]:
        """Read the form of a request; for FastAPI to call.

        :raises RequestValidationError: the fields are not those of the model.
        :raises HTTPException: the form is bad. Where the application has an exception handler for
            :exc:`MultipartError`, that is raised.
        """
        reading = read_form(
            request.headers,
            request.stream(),
            limits=self._limits,
            policy=self._policy,
            targets=self._targets,
            default=self._default,
        )
        try:
            form = await reading
        except MultipartError as exc:
            raise_as_http(request, exc)
        async with form:
            yield self._made_of(form)

    def _made_of(self, form: Form) -> M:
        data: dict[str, Any] = {name: _value(form, name, None) for name in form}
        for name, field in self._model.model_fields.items():
            key = _key(name, field)
            data.pop(key, None)
            value = _value(form, key, field)
            if value is not None:
                data[key] = value
        try:
            return self._model.model_validate(data)
        except ValidationError as exc:
            errors = [
                {**error, "loc": ("body", *error["loc"]), "input": _shown(error["input"])}
                for error in exc.errors(include_url=False)
            ]
            raise RequestValidationError(errors, body=_shown(data)) from exc

    def openapi(self) -> dict[str, Any]:
        """What OpenAPI has to know of the body: ``@app.post("/", openapi_extra=PHOTO.openapi())``."""
        schema = self._model.model_json_schema()
        definitions: dict[str, Any] = schema.pop("$defs", {})
        content = {"multipart/form-data": {"schema": _inlined(schema, definitions)}}
        return {"requestBody": {"required": bool(schema.get("required")), "content": content}}


def _key(name: str, field: FieldInfo) -> str:
    """The name that a field has in the form."""
    alias = field.validation_alias if isinstance(field.validation_alias, str) else field.alias
    return alias or name


def _value(form: Form, name: str, field: FieldInfo | None) -> Any:
    """What pydantic gets; None for nothing. More than one where one is wanted is a list, which it refuses."""
    values = [value for value in form.getall(name, []) if value != ""]
    if field is not None and _is_list(field.annotation):
        return values or None
    return values[0] if len(values) == 1 else values or None


def _is_list(annotation: Any) -> bool:
    origin = get_origin(annotation) or annotation
    return origin in _LISTS or any(map(_is_list, get_args(annotation) if origin not in _LISTS else ()))


def _shown(value: Any) -> Any:
    """What of the input can be shown in an answer."""
    if isinstance(value, UploadedFile):
        return value.filename
    if isinstance(value, Mapping):
        return {name: _shown(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_shown(each) for each in value]
    return value.value if isinstance(value, enum.Enum) else value


def _inlined(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """The schema, with what it refers to in its place: there is no ``$defs`` at the top of an OpenAPI document."""
    if isinstance(schema, list):
        return [_inlined(each, definitions) for each in schema]
    if not isinstance(schema, dict):
        return schema
    reference = schema.get("$ref", "")
    if reference.startswith("#/$defs/"):
        rest = {name: value for name, value in schema.items() if name != "$ref"}
        return _inlined(definitions[reference.removeprefix("#/$defs/")] | rest, definitions)
    return {name: _inlined(value, definitions) for name, value in schema.items()}
