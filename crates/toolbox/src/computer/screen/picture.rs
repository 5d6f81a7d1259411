//! Pixels in memory: made from what X sends, drawn on, made smaller, written as files.
//!
//! Pure. Must not: know of X or HTTP.

use jpeg_encoder::{ColorType, Encoder, EncodingError};

const CHANNELS: usize = 3;

/// Rows from the top, each pixel red, green, blue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    width: u16,
    height: u16,
    rgb: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("write PNG")]
    Png(#[from] png::EncodingError),
    #[error("write JPEG")]
    Jpeg(#[from] EncodingError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Png,
    /// From 1 to 100.
    Jpeg {
        quality: u8,
    },
}

impl Picture {
    /// From 32-bit words that hold red, green and blue in their lower 24 bits.
    pub(super) fn from_words(data: &[u8], width: u16, height: u16, is_lsb: bool) -> Self {
        let mut rgb = Vec::with_capacity(data.len() / 4 * CHANNELS);
        for word in data.chunks_exact(4) {
            if is_lsb {
                rgb.extend_from_slice(&[word[2], word[1], word[0]]);
            } else {
                rgb.extend_from_slice(&word[1..]);
            }
        }
        // A server that sends too little must not make later arithmetic reach beyond the end.
        rgb.resize(usize::from(width) * usize::from(height) * CHANNELS, 0);
        Self { width, height, rgb }
    }

    /// Puts a pixel over what is there; its colours are already multiplied by its alpha.
    pub(super) fn blend(&mut self, x: i32, y: i32, argb: u32) {
        let (Ok(x), Ok(y)) = (u16::try_from(x), u16::try_from(y)) else {
            return;
        };
        if x >= self.width || y >= self.height {
            return;
        }
        let at = (usize::from(y) * usize::from(self.width) + usize::from(x)) * CHANNELS;
        let [alpha, red, green, blue] = argb.to_be_bytes();
        let rest = 255 - u16::from(alpha);
        for (channel, over) in self.rgb[at..at + CHANNELS]
            .iter_mut()
            .zip([red, green, blue])
        {
            let under = u16::from(*channel) * rest / 255;
            *channel = u8::try_from(under + u16::from(over)).unwrap_or(u8::MAX);
        }
    }

    /// Each pixel is the mean of those it stands for.
    pub(super) fn shrink(&self, scale: f64) -> Self {
        let (width, height) = (scaled(self.width, scale), scaled(self.height, scale));
        let mut rgb = Vec::with_capacity(usize::from(width) * usize::from(height) * CHANNELS);
        for y in 0..height {
            let rows = span(y, height, self.height);
            for x in 0..width {
                rgb.extend_from_slice(&self.mean(span(x, width, self.width), rows.clone()));
            }
        }
        Self { width, height, rgb }
    }

    fn mean(
        &self,
        columns: std::ops::Range<usize>,
        rows: std::ops::Range<usize>,
    ) -> [u8; CHANNELS] {
        let mut sums = [0_u32; CHANNELS];
        let mut count = 0;
        for row in rows {
            let line = row * usize::from(self.width);
            let (from, to) = (line + columns.start, line + columns.end);
            for pixel in self.rgb[from * CHANNELS..to * CHANNELS].chunks_exact(CHANNELS) {
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += u32::from(*value);
                }
                count += 1;
            }
        }
        sums.map(|sum| u8::try_from(sum / count.max(1)).unwrap_or(u8::MAX))
    }

    pub(super) fn write(&self, format: Format) -> Result<Vec<u8>, Error> {
        match format {
            Format::Png => self.to_png(),
            Format::Jpeg { quality } => {
                let mut file = Vec::new();
                let encoder = Encoder::new(&mut file, quality);
                encoder.encode(&self.rgb, self.width, self.height, ColorType::Rgb)?;
                Ok(file)
            }
        }
    }

    fn to_png(&self) -> Result<Vec<u8>, Error> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, self.width.into(), self.height.into());
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        // Screens are flat: the quick way is nearly as small, in a tenth of the time.
        encoder.set_compression(png::Compression::Fast);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.rgb)?;
        writer.finish()?;
        Ok(file)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at most 65535 times at most 1, and never negative"
)]
fn scaled(size: u16, scale: f64) -> u16 {
    ((f64::from(size) * scale).round() as u16).max(1)
}

/// The old pixels that one of `count` new ones stands for; at least one.
fn span(at: u16, count: u16, size: u16) -> std::ops::Range<usize> {
    let edge = |at: usize| at * usize::from(size) / usize::from(count.max(1));
    let from = edge(usize::from(at));
    from..edge(usize::from(at) + 1).max(from + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_by_two() -> Picture {
        let words: Vec<u8> = [0x00_ff_00_00_u32, 0x00_00_ff_00, 0x00_00_00_ff, 0]
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        Picture::from_words(&words, 2, 2, true)
    }

    #[test]
    fn a_smaller_picture_has_the_mean_of_its_pixels() {
        let one = two_by_two().shrink(0.5);
        assert_eq!((one.width, one.height), (1, 1));
        assert_eq!(one.rgb, [63, 63, 63]);
        assert_eq!(two_by_two().shrink(0.1).rgb.len(), 3);
        assert_eq!(two_by_two().shrink(1.0), two_by_two());
    }

    #[test]
    fn the_pointer_covers_what_is_below_and_never_reaches_beyond_the_edge() {
        let mut picture = two_by_two();
        picture.blend(0, 0, 0xff_00_00_07);
        picture.blend(1, 0, 0x80_40_00_00);
        for (x, y) in [(-1, 0), (0, -1), (2, 0), (0, 2), (i32::MAX, i32::MIN)] {
            picture.blend(x, y, u32::MAX);
        }
        assert_eq!(picture.rgb, [0, 0, 7, 64, 127, 0, 0, 0, 255, 0, 0, 0]);
    }

    #[test]
    fn too_few_bytes_give_a_whole_picture() {
        let picture = Picture::from_words(&[1, 2, 3, 0], 4, 4, true);
        assert_eq!(picture.rgb.len(), 48);
        assert!(picture.write(Format::Png).is_ok());
    }

    #[test]
    fn files_are_what_they_are_called() {
        let picture = two_by_two();
        let png = picture.write(Format::Png).unwrap();
        let mut decoder = png::Decoder::new(std::io::Cursor::new(png))
            .read_info()
            .unwrap();
        let mut pixels = vec![0; decoder.output_buffer_size().unwrap()];
        decoder.next_frame(&mut pixels).unwrap();
        assert_eq!(pixels, picture.rgb);
        let jpeg = picture.write(Format::Jpeg { quality: 50 }).unwrap();
        assert_eq!(jpeg[..3], [0xff, 0xd8, 0xff]);
    }
}
