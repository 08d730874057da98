//! Frames over any byte stream, blocking or (feature `tokio`) asynchronous. Lengths are checked before allocation,
//! and room is made as bytes come: a header alone costs its reader nothing.

use assay_protocol::wire::{self, FrameError, HEADER_BYTES};
use std::io::{self, Read, Write};

/// Why a frame was not sent or received.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The stream failed or ended.
    #[error("connection: {0}")]
    Io(#[from] io::Error),
    /// The bytes are not a frame of ours.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Room made at first for a payload.
const STEP_BYTES: usize = 64 * 1024;

/// Room for the next part of a payload: a step at first, then as much as has come.
fn grow(payload: &mut Vec<u8>, length: usize) -> &mut [u8] {
    let come = payload.len();
    let more = length.saturating_sub(come).min(come.max(STEP_BYTES));
    payload.reserve_exact(more);
    payload.resize(come.saturating_add(more), 0);
    payload.get_mut(come..).unwrap_or_default()
}

/// Writes one message.
pub fn write<T: serde::Serialize>(
    stream: &mut impl Write,
    message: &T,
    max: usize,
) -> Result<(), TransportError> {
    stream.write_all(&wire::frame(message, max)?)?;
    Ok(stream.flush()?)
}

/// Reads one message of at most `max` bytes.
pub fn read<T: serde::de::DeserializeOwned>(
    stream: &mut impl Read,
    max: usize,
) -> Result<T, TransportError> {
    let mut header = [0; HEADER_BYTES];
    stream.read_exact(&mut header)?;
    let (length, mut payload) = (wire::payload_len(&header, max)?, Vec::new());
    while payload.len() < length {
        stream.read_exact(grow(&mut payload, length))?;
    }
    Ok(wire::message(&payload)?)
}

/// The same over tokio streams.
#[cfg(feature = "tokio")]
pub mod aio {
    use super::{HEADER_BYTES, TransportError, grow, wire};
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

    /// Writes one message.
    pub async fn write<T: serde::Serialize>(
        stream: &mut (impl AsyncWrite + Unpin),
        message: &T,
        max: usize,
    ) -> Result<(), TransportError> {
        stream.write_all(&wire::frame(message, max)?).await?;
        Ok(stream.flush().await?)
    }

    /// Reads one message of at most `max` bytes.
    pub async fn read<T: serde::de::DeserializeOwned>(
        stream: &mut (impl AsyncRead + Unpin),
        max: usize,
    ) -> Result<T, TransportError> {
        let mut header = [0; HEADER_BYTES];
        stream.read_exact(&mut header).await?;
        let (length, mut payload) = (wire::payload_len(&header, max)?, Vec::new());
        while payload.len() < length {
            stream.read_exact(grow(&mut payload, length)).await?;
        }
        Ok(wire::message(&payload)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_protocol::wire::BoardObject;

    const MAX: usize = 8 * 1024 * 1024;

    /// Bytes, and the most that was asked for beside what had come by then.
    struct Asked<'a> {
        bytes: &'a [u8],
        come: usize,
        ahead: usize,
    }

    impl Read for Asked<'_> {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            self.ahead = self.ahead.max(room.len().saturating_sub(self.come));
            let count = self.bytes.read(room)?;
            self.come += count;
            Ok(count)
        }
    }

    fn large() -> (BoardObject, Vec<u8>) {
        let object = BoardObject::Vote(vec![7; 3 * 1024 * 1024 + 5]);
        let frame = wire::frame(&object, MAX).unwrap();
        (object, frame)
    }

    #[test]
    fn room_for_a_payload_is_made_as_its_bytes_come() {
        let (object, frame) = large();
        for end in [HEADER_BYTES, HEADER_BYTES + 100, 1024 * 1024, frame.len()] {
            let (bytes, come, ahead) = (&frame[..end], 0, 0);
            let mut stream = Asked { bytes, come, ahead };
            let read = read::<BoardObject>(&mut stream, MAX);
            assert_eq!(read.ok(), (end == frame.len()).then(|| object.clone()));
            assert!(stream.ahead <= STEP_BYTES, "{} bytes ahead", stream.ahead);
        }
    }
}
