"""An upload of 256 MiB takes less than 4 MiB of a server's memory, beyond what its target holds."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.measuring import TIMEOUT, forget_peak, memory, post
from tests.support.saving import MIB

SIZE = 256 * MIB
SERVER = """
import asyncio
import socket
import sys

import aiomultipart
from aiomultipart import Limits, NullTarget, UploadedFile
from aiomultipart.integrations import fastapi as ours
from aiomultipart.integrations import wsgi

kind, fd = sys.argv[1], int(sys.argv[2])
limits = Limits.for_forms(max_part_size=1 << 30)

def drop(part):
    return NullTarget()

def starlette():
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def upload(request):
        async with aiomultipart.read_form(request.headers, request.stream(), limits=limits, targets=drop) as form:
            return JSONResponse([form.text("title"), form.file("photo").result])

    return Starlette(routes=[Route("/", upload, methods=["POST"])])

def fastapi_route():
    from fastapi import FastAPI, Form, UploadFile

    app = FastAPI()
    app.router.route_class = ours.MultipartRoute.configured(limits=limits)

    @app.post("/")
    async def upload(photo: UploadFile, title: str = Form()):
        return [title, photo.size]

    return app

def fastapi_form():
    from fastapi import Depends, FastAPI
    from pydantic import BaseModel

    class Photo(BaseModel):
        title: str
        photo: UploadedFile[int]

    app = FastAPI()
    form = ours.MultipartForm(Photo, limits=limits, targets={"photo": drop})

    @app.post("/")
    async def upload(photo: Photo = Depends(form)):
        return [photo.title, photo.photo.result]

    return app

def flask():
    from flask import Flask, request

    app = Flask("uploads")

    @app.post("/")
    def upload():
        with wsgi.parse_form(request.environ, limits=limits, targets=drop) as form:
            return [form.text("title"), form.file("photo").result]

    return app

def django():
    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import JsonResponse
    from django.urls import path

    COMMON = "django.middleware.common.CommonMiddleware"

    def upload(request):
        with aiomultipart.parse_form(request.headers, request, limits=limits, targets=drop) as form:
            return JsonResponse([form.text("title"), form.file("photo").result], safe=False)

    sys.modules["urls"] = type(sys)("urls")
    sys.modules["urls"].urlpatterns = [path("", upload)]
    settings.configure(ROOT_URLCONF="urls", ALLOWED_HOSTS=["*"], SECRET_KEY="x", MIDDLEWARE=[COMMON])
    django.setup()
    return WSGIHandler()

app = globals()[kind]()
if kind in ("flask", "django"):
    import waitress

    waitress.serve(app, sockets=[socket.socket(fileno=fd)], max_request_body_size=1 << 30, threads=1)
else:
    import uvicorn

    uvicorn.run(app, fd=fd, log_level="warning", lifespan="off", ws="none")
"""
# What a target holds of its own: nothing, but for MultipartRoute's, whose files are spooled: 1 MiB in memory, then
# 1 MiB that is collected while another is written.
OWN = {"starlette": 0, "fastapi_route": 3 * MIB, "fastapi_form": 0, "flask": 0, "django": 0}


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("kind", OWN)
def test_an_upload(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening_socket:
        fd = listening_socket.fileno()
        address = listening_socket.getsockname()
        command = [sys.executable, "-c", SERVER, kind, str(fd)]
        process = subprocess.Popen(command, pass_fds=[fd], cwd=Path(__file__).parents[2])
        try:
            post(address, 1024)  # what is imported or started once
            before = forget_peak(process.pid)
            result, _ = post(address, SIZE)
            taken = memory(process.pid, "VmHWM") - before
        finally:
            process.terminate()
            process.wait(TIMEOUT)
    assert json.loads(result) == ["large", SIZE]
    assert taken < 4 * MIB + OWN[kind]
