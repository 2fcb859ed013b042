"""Routes that crop, turn and straighten a photograph. Each makes a new one, so the page can return to the old one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, HTTPException

from scoreinv.imaging.picture import Picture
from scoreinv.tasks.frame import crop_picture, cut_border, straighten_picture, turn_picture
from scoreinv.web.album import Album


def add_frame(app: FastAPI, album: Album) -> None:
    """Add the routes to the application."""

    def framed(key: str, frame: Callable[[Picture], Picture]) -> dict[str, Any]:
        photo = album.get(key)
        made = photo.edited(frame(photo.picture))
        album.add(made)
        return made.describe()

    @app.post("/api/photos/{key}/turn", status_code=201)
    def turn(key: str, quarters: int = 1) -> dict[str, Any]:
        return framed(key, lambda picture: turn_picture(picture, quarters))

    @app.post("/api/photos/{key}/straighten", status_code=201)
    def straighten(key: str, angle: float) -> dict[str, Any]:
        return framed(key, lambda picture: straighten_picture(picture, angle))

    @app.post("/api/photos/{key}/crop", status_code=201)
    def crop(key: str, box: str) -> dict[str, Any]:
        """Crop to a box `x,y,width,height`."""
        try:
            left, top, width, height = map(float, box.split(","))
        except ValueError as error:
            raise HTTPException(422, "A box is x,y,width,height.") from error
        return framed(key, lambda picture: crop_picture(picture, (left, top, width, height)))

    @app.post("/api/photos/{key}/border", status_code=201)
    def border(key: str) -> dict[str, Any]:
        return framed(key, cut_border)
