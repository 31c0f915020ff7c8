"""Messages that the standard library's email package writes are read back equal."""

import email
import email.encoders
import email.policy
import io
from email.generator import BytesGenerator
from email.message import EmailMessage, Message
from email.mime.application import MIMEApplication
from email.mime.image import MIMEImage
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.mime.text import MIMEText
from typing import NamedTuple

import pytest

import aiomultipart
from aiomultipart.testing import ScriptedSource

BINARY = bytes(range(256)) * 300
TEXT = "Grüße,\nein Text = Zeilen\n\n--\n." + "sehr lang " * 40 + "\n \tEnde \n"


class Leaf(NamedTuple):
    level: int
    content_type: str
    filename: str | None
    body: bytes


def quoted_printable(text: bytes, subtype: str, filename: str) -> Message:
    part = MIMENonMultipart("text", subtype)
    part.set_payload(text)
    email.encoders.encode_quopri(part)
    part.add_header("Content-Disposition", "attachment", filename=filename)
    return part


def old_style() -> Message:
    """MIMEMultipart: alternatives within related within mixed, with attachments in both encodings."""
    alternative = MIMEMultipart("alternative")
    alternative.attach(MIMEText("plain ascii\n", "plain", "us-ascii"))
    alternative.attach(MIMEText(TEXT, "plain", "utf-8"))  # base64
    alternative.attach(MIMEText("<p>Grüße</p>\n", "html", "iso-8859-1"))  # quoted-printable
    related = MIMEMultipart("related")
    related.attach(alternative)
    image = MIMEImage(b"\x89PNG\r\n\x1a\n" + BINARY, "png")
    image.add_header("Content-ID", "<image>")
    image.add_header("Content-Disposition", "inline", filename="b\u00efld.png")
    related.attach(image)
    message = MIMEMultipart("mixed")
    message["Subject"] = "old style"
    message.preamble = "This is a multi-part message.\n"
    message.epilogue = "The end.\n"
    message.attach(related)
    attachment = MIMEApplication(BINARY, "pdf")
    attachment.add_header("Content-Disposition", "attachment", filename='a "file".pdf')
    message.attach(attachment)
    message.attach(quoted_printable(TEXT.encode(), "csv", "table.csv"))
    inner = MIMEText("of a message within\n")
    inner["Subject"] = "within"
    message.attach(MIMEMessage(inner))
    message.attach(MIMEApplication(b"", "x-empty"))
    return message


def new_style() -> Message:
    """EmailMessage: what Python writes today, with long file names in RFC 2231 continuations."""
    message = EmailMessage()
    message["Subject"] = "new style"
    message.set_content(TEXT)
    message.add_alternative("<p>Grüße</p>\n", subtype="html", cte="quoted-printable")
    html = message.get_payload()[1]
    html.add_related(BINARY, "image", "png", cid="<image>", filename="bild.png")
    message.add_attachment(BINARY, "application", "octet-stream", filename="naïve " * 20 + ".bin")
    message.add_attachment("7 bit\n", filename="plain.txt", cte="7bit")
    message.add_attachment(TEXT, subtype="csv", filename="ü.csv", cte="quoted-printable")
    message.add_attachment(BINARY, "application", "x-second", filename=r"C:\dir\file;x.bin")
    return message


def expected(message: Message, level: int = 1) -> list[Leaf]:
    """What the standard library itself reads."""
    leaves = []
    for part in message.get_payload():
        if part.get_content_maintype() == "multipart":
            leaves += expected(part, level + 1)
        elif part.get_content_type() == "message/rfc822":
            leaves.append(Leaf(level, part.get_content_type(), None, part.get_payload(0).as_bytes()))
        else:
            body = part.get_payload(decode=True)
            leaves.append(Leaf(level, part.get_content_type(), part.get_filename(), body))
    return leaves


async def read(reader: aiomultipart.MultipartReader, level: int = 1) -> list[Leaf]:
    leaves = []
    async for part in reader:
        if isinstance(part, aiomultipart.MultipartReader):
            leaves += await read(part, level + 1)
        else:
            leaves.append(Leaf(level, part.content_type, part.filename, await part.read(decode=True)))
    return leaves


def flatten(message: Message) -> tuple[dict[str, str], bytes]:
    file = io.BytesIO()
    BytesGenerator(file, policy=message.policy.clone(linesep="\r\n")).flatten(message)
    head, _, body = file.getvalue().partition(b"\r\n\r\n")
    headers = email.message_from_bytes(head, policy=email.policy.HTTP)
    return {"Content-Type": str(headers["Content-Type"])}, body


@pytest.mark.parametrize("make", [old_style, new_style])
async def test_email(make) -> None:
    headers, body = flatten(make())
    # Its own reader keeps CRLF, as on the wire; the default policy turns a body's line ends into LF.
    content_type = b"Content-Type: " + headers["Content-Type"].encode()
    reference = email.message_from_bytes(content_type + b"\r\n\r\n" + body, policy=email.policy.SMTP)
    leaves = expected(reference)
    bodies = [leaf.body.replace(b"\r\n", b"\n") for leaf in leaves]
    assert bodies.count(TEXT.encode()) == 2
    assert sum(leaf.body.endswith(BINARY) for leaf in leaves) >= 2
    assert {leaf.level for leaf in leaves} >= {1, 2, 3}
    for chunks in ([body], [body[start : start + 1000] for start in range(0, len(body), 1000)]):
        reader = aiomultipart.MultipartReader(headers, ScriptedSource(*chunks))
        assert await read(reader) == leaves
        await reader.release()
        assert reader.defects == ()
