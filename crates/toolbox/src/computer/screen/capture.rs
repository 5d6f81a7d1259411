//! Pixels of the screen, with or without the pointer.

use x11rb::connection::Connection as _;
use x11rb::protocol::xfixes::ConnectionExt as _;
use x11rb::protocol::xproto::{ConnectionExt as _, ImageFormat, ImageOrder};

use super::picture::Picture;
use crate::computer::display::{self, Display};

/// The version of the extension that knows the pointer's picture.
const XFIXES: (u32, u32) = (1, 0);

/// A part of the screen, as asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) x: i64,
    pub(super) y: i64,
    pub(super) width: i64,
    pub(super) height: i64,
}

/// A part of the screen that is really on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) x: u16,
    pub(super) y: u16,
    width: u16,
    height: u16,
}

impl Region {
    /// The region on a screen of that size; the field that reaches beyond it is named.
    pub(super) fn on(self, width: u16, height: u16) -> Result<Area, display::Error> {
        Ok(Area {
            x: field("x", self.x, 0, i64::from(width) - 1)?,
            y: field("y", self.y, 0, i64::from(height) - 1)?,
            width: field("width", self.width, 1, i64::from(width) - self.x)?,
            height: field("height", self.height, 1, i64::from(height) - self.y)?,
        })
    }
}

fn field(name: &str, value: i64, least: i64, most: i64) -> Result<u16, display::Error> {
    u16::try_from(value)
        .ok()
        .filter(|_| (least..=most).contains(&value))
        .ok_or_else(|| {
            display::Error::Invalid(format!("query {name} {value}: from {least} to {most} here"))
        })
}

/// The pixels of `area`.
pub(super) fn capture(display: &Display, area: Area) -> Result<Picture, display::Error> {
    let [x, y] = [area.x, area.y].map(|at| i16::try_from(at).unwrap_or(i16::MAX));
    let image = display
        .x
        .get_image(
            ImageFormat::Z_PIXMAP,
            display.root,
            x,
            y,
            area.width,
            area.height,
            !0,
        )?
        .reply()?;
    let setup = display.x.setup();
    let format = setup
        .pixmap_formats
        .iter()
        .find(|one| one.depth == image.depth);
    if format.is_none_or(|one| one.bits_per_pixel != 32) {
        let text = format!("screens of depth {} cannot be read", image.depth);
        return Err(display::Error::Refused(text));
    }
    let is_lsb = setup.image_byte_order == ImageOrder::LSB_FIRST;
    Ok(Picture::from_words(
        &image.data,
        area.width,
        area.height,
        is_lsb,
    ))
}

/// Draws the pointer where it is.
pub(super) fn draw_pointer(
    display: &Display,
    area: Area,
    picture: &mut Picture,
) -> Result<(), display::Error> {
    display
        .x
        .xfixes_query_version(XFIXES.0, XFIXES.1)?
        .reply()?;
    let cursor = display.x.xfixes_get_cursor_image()?.reply()?;
    let left = i32::from(cursor.x) - i32::from(cursor.xhot) - i32::from(area.x);
    let top = i32::from(cursor.y) - i32::from(cursor.yhot) - i32::from(area.y);
    let width = usize::from(cursor.width).max(1);
    for (row, line) in (top..).zip(cursor.cursor_image.chunks(width)) {
        for (column, pixel) in (left..).zip(line) {
            picture.blend(column, row, *pixel);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_beyond_the_screen_is_refused_by_the_name_of_its_field() {
        let region = |x, y, width, height| Region {
            x,
            y,
            width,
            height,
        };
        assert!(region(0, 0, 800, 600).on(800, 600).is_ok());
        assert!(region(799, 599, 1, 1).on(800, 600).is_ok());
        for (asked, name) in [
            (region(-1, 0, 1, 1), "query x"),
            (region(800, 0, 1, 1), "query x"),
            (region(0, 600, 1, 1), "query y"),
            (region(1, 0, 800, 1), "query width"),
            (region(0, 0, 0, 1), "query width"),
            (region(0, 1, 1, 600), "query height"),
            (region(0, 0, 1, i64::MAX), "query height"),
        ] {
            let refusal = asked.on(800, 600).unwrap_err().to_string();
            assert!(refusal.starts_with(name), "{refusal}");
        }
    }
}
