//! The lines of a log. A pod may write for ever without ending one, and what is no text.

use std::collections::VecDeque;

use futures::{AsyncBufRead, AsyncBufReadExt, Stream, stream};

/// A longer line is shown as several.
const LONGEST_LINE: usize = 16 * 1024;

/// What is read, and not yet told.
struct Reader<R> {
    log: R,
    begun: Vec<u8>,
    ready: VecDeque<String>,
    ended: bool,
}

/// The lines of a log as they come; none is longer than [`LONGEST_LINE`].
pub fn lines(log: impl AsyncBufRead + Unpin) -> impl Stream<Item = std::io::Result<String>> {
    let reader = Reader { log, begun: Vec::new(), ready: VecDeque::new(), ended: false };
    stream::unfold(reader, |mut reader| async move {
        loop {
            if let Some(line) = reader.ready.pop_front() {
                return Some((Ok(line), reader));
            }
            if reader.ended {
                return None;
            }
            let read = match reader.log.fill_buf().await {
                Ok(read) => read,
                Err(error) => {
                    reader.ended = true;
                    return Some((Err(error), reader));
                }
            };
            let length = read.len();
            reader.ended = length == 0;
            for byte in read {
                if *byte == b'\n' {
                    reader.ready.push_back(text_of(&mut reader.begun));
                } else {
                    reader.begun.push(*byte);
                    if reader.begun.len() == LONGEST_LINE {
                        reader.ready.push_back(text_of(&mut reader.begun));
                    }
                }
            }
            if reader.ended && !reader.begun.is_empty() {
                reader.ready.push_back(text_of(&mut reader.begun));
            }
            reader.log.consume_unpin(length);
        }
    })
}

fn text_of(bytes: &mut Vec<u8>) -> String {
    let text = String::from_utf8_lossy(bytes).into_owned();
    bytes.clear();
    text
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use futures::io::Cursor;

    use super::*;

    async fn read(log: &[u8]) -> Vec<String> {
        lines(Cursor::new(log)).map(|line| line.expect("read")).collect().await
    }

    #[tokio::test]
    async fn lines_end_where_they_end_and_what_is_no_text_does_no_harm() {
        assert_eq!(read(b"one\n\ntwo\xff\nthree").await, ["one", "", "two\u{fffd}", "three"]);
        assert_eq!(read(b"").await, [""; 0]);
    }

    #[tokio::test]
    async fn a_line_without_an_end_does_not_fill_the_memory() {
        let told = read(&vec![b'x'; 2 * LONGEST_LINE + 1]).await;
        assert_eq!(told.iter().map(String::len).collect::<Vec<_>>(), [LONGEST_LINE, LONGEST_LINE, 1]);
    }
}
