"""Serve moving pictures to browsers: frames drawn on the fly, sent as multipart/x-mixed-replace (MJPEG).

One task draws. Each viewer is sent the newest frame as soon as it has taken the one before: a slow viewer skips frames,
and nobody waits for anybody else.

    python examples/mjpeg_server.py --port 8080 --fps 15
"""

import argparse
import asyncio
import colorsys
import io
import math
from contextlib import suppress

from aiohttp import web
from PIL import Image, ImageDraw, ImageFont

from aiomultipart import FrameBroadcast

WIDTH, HEIGHT = 640, 360
FONT = ImageFont.load_default(26)
PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Live frames</title>
<style>
  body { margin: 0; min-height: 100vh; display: grid; place-content: center; gap: 1rem;
         background: #10131c; color: #dfe3ee; font: 16px/1.5 system-ui, sans-serif }
  img { display: block; width: min(WIDTHpx, 92vw); aspect-ratio: WIDTH / HEIGHT; border-radius: 12px;
        background: #1b2030; box-shadow: 0 12px 40px #0009 }
  h1 { margin: 0; font-size: 1.4rem; font-weight: 600 }
  footer { display: flex; justify-content: space-between; color: #98a1b8 }
  output { color: #7ee2a8; font-variant-numeric: tabular-nums }
</style>
<h1>Live frames</h1>
<img src="/stream" alt="A ball on its way, and the number of the frame">
<footer><span>multipart/x-mixed-replace</span><span><output id="viewers">…</output> watching</span></footer>
<script>
  async function refresh() {
    try { viewers.textContent = await (await fetch("/viewers")).text() } catch { viewers.textContent = "?" }
    setTimeout(refresh, 1000);
  }
  refresh();
</script>
""".replace("WIDTH", str(WIDTH)).replace("HEIGHT", str(HEIGHT))


def draw(number: int) -> bytes:
    """Frame ``number``, as JPEG: a ball with a tail, and the number."""
    image = Image.new("RGB", (WIDTH, HEIGHT), "#161b2b")
    canvas = ImageDraw.Draw(image)
    for x in range(0, WIDTH, 40):
        canvas.line((x, 0, x, HEIGHT), fill="#1e2540")
    for y in range(0, HEIGHT, 40):
        canvas.line((0, y, WIDTH, y), fill="#1e2540")
    for age in range(24, -1, -1):
        moment = (number - age) / 20
        center = WIDTH * (0.5 + 0.42 * math.sin(moment * 1.3)), HEIGHT * (0.5 + 0.36 * math.sin(moment * 2.1))
        red, green, blue = colorsys.hsv_to_rgb(moment / 12 % 1, 0.65, 1 - age / 32)
        canvas.circle(center, 26 - age, fill=(int(255 * red), int(255 * green), int(255 * blue)))
    canvas.text((20, HEIGHT - 46), f"frame {number:06}", font=FONT, fill="#dfe3ee")
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=85)
    return jpeg.getvalue()


CAMERA = web.AppKey("camera", FrameBroadcast)
FILMING = web.AppKey("filming", asyncio.Task[None])


async def film(camera: FrameBroadcast, fps: float) -> None:
    """Draw for ever; that takes a thread, so that sending goes on meanwhile."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        camera.publish(await asyncio.to_thread(draw, camera.published))
        due = max(due + 1 / fps, loop.time())
        await asyncio.sleep(due - loop.time())


async def page(_request: web.Request) -> web.Response:
    """The page that shows the stream."""
    return web.Response(text=PAGE, content_type="text/html")


async def viewers(request: web.Request) -> web.Response:
    """How many are watching."""
    return web.Response(text=str(request.app[CAMERA].viewers), headers={"Cache-Control": "no-store"})


async def stream(request: web.Request) -> web.StreamResponse:
    """Frame after frame, each replacing the one before it."""
    response = web.StreamResponse()
    await request.app[CAMERA].serve(response, request)
    return response


def make_app(fps: float = 15) -> web.Application:
    """The server, without a place to listen at."""
    app = web.Application()
    app.add_routes([web.get("/", page), web.get("/stream", stream), web.get("/viewers", viewers)])
    app[CAMERA] = FrameBroadcast()

    async def begin(app: web.Application) -> None:
        app[FILMING] = asyncio.create_task(film(app[CAMERA], fps))

    async def end(app: web.Application) -> None:
        app[FILMING].cancel()
        await asyncio.wait((app[FILMING],))
        # The streams have no end of their own; the server would wait for them.
        app[CAMERA].close()

    app.on_startup.append(begin)
    app.on_shutdown.append(end)
    return app


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="Serve frames that are drawn on the fly as MJPEG.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--fps", type=float, default=15, help="frames per second (%(default)s)")
    options = parser.parse_args()
    # A viewer that takes nothing any more is given two seconds.
    with suppress(KeyboardInterrupt):
        web.run_app(make_app(options.fps), host=options.host, port=options.port, shutdown_timeout=2)


if __name__ == "__main__":
    main()
