"""A network camera in the rig that shows the person whom a file names: MJPEG over HTTP on loopback. Uses only the standard library.

usage: netcam.py PEOPLE NOW      PEOPLE/ada/*.jpg is a person's clip, shown back and forth; NOW holds a name, or `stall` for no frames
"""

from __future__ import annotations

import itertools
import os
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT, FPS = 8080, 15
PEOPLE, NOW = Path(sys.argv[1]), Path(sys.argv[2])


class Stream(BaseHTTPRequestHandler):
    """Serves the stream at any path."""

    def do_GET(self) -> None:
        """Sends frames until the client disconnects."""
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        clips = {folder.name: [path.read_bytes() for path in sorted(folder.glob("*.jpg"))] for folder in PEOPLE.iterdir()}
        for number in itertools.count():
            time.sleep(1 / FPS)
            name = NOW.read_text().strip()
            if name == "stall":
                continue
            clip = clips[name]
            there_and_back = number % (2 * len(clip))
            picture = clip[min(there_and_back, 2 * len(clip) - 1 - there_and_back)]
            try:
                self.wfile.write(
                    b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(picture), picture)
                )
            except (BrokenPipeError, ConnectionResetError):
                return


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", PORT), Stream)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
    server.serve_forever()
