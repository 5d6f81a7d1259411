//! Targets: forms, ranges, and names that clients send.

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use futures_util::{FutureExt as _, stream};
use http::header::CONTENT_TYPE;
use sebring_testkit::corpus;

use super::download::{Asked, asked_range, file_name_parameters};
use super::form::Form;

/// A head without an end, and the longest piece.
const HELD_BYTES_MAX: usize = (64 << 10) + 256;

/// A form has the same fields however it is cut, is never gathered, and always comes to an end.
pub fn multipart(input: &[u8]) {
    let (longest, body) = corpus::choice(input);
    let (whole, _) = fields(&[body]);
    let (cut, held) = fields(&corpus::pieces(body, longest));
    assert_eq!(cut, whole);
    assert!(held <= HELD_BYTES_MAX, "{held} bytes were held");
}

/// The fields that came whole; whether all did.
type Fields = (Vec<(Option<String>, Vec<u8>)>, bool);

fn fields(pieces: &[&[u8]]) -> (Fields, usize) {
    let pieces = pieces.iter().map(|piece| Bytes::copy_from_slice(piece));
    let body = stream::iter(pieces.map(Ok::<_, std::io::Error>).collect::<Vec<_>>());
    let request = Request::builder()
        .header(CONTENT_TYPE, "multipart/form-data; boundary=b")
        .body(Body::from_stream(body))
        .expect("a request");
    let mut found = Vec::new();
    let read = async {
        let mut form = Form::open(request).await.expect("a boundary was given");
        let done = read_all(&mut form, &mut found).await;
        (done, form.held_bytes_most())
    };
    let (done, held) = read.now_or_never().expect("nothing is waited for");
    ((found, done), held)
}

async fn read_all(form: &mut Form, found: &mut Vec<(Option<String>, Vec<u8>)>) -> bool {
    loop {
        let mut field = match form.next_field().await {
            Ok(Some(field)) => field,
            Ok(None) => return true,
            Err(_) => return false,
        };
        let name = field.name().map(str::to_owned);
        let mut content = Vec::new();
        loop {
            match field.chunk().await {
                Ok(Some(piece)) => content.extend_from_slice(&piece),
                Ok(None) => break,
                Err(_) => return false,
            }
        }
        found.push((name, content));
    }
}

/// A range lies within the file, and a name leaves in a header that nobody reads differently.
pub fn download(input: &[u8]) {
    let Some((size, text)) = input.split_first_chunk::<8>() else {
        return;
    };
    let size = u64::from_le_bytes(*size);
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    if let Asked::Part(range) = asked_range(text, size) {
        assert!(
            range.first <= range.last && range.last < size,
            "{range:?} of {size}"
        );
    }
    let header = file_name_parameters(text, "UTF-8");
    assert!(
        header.bytes().all(|byte| matches!(byte, b' '..=b'~')),
        "{header}"
    );
    assert_eq!(header.matches('"').count(), 2, "{header}");
    assert!(!header.contains('\\'), "{header}");
}
