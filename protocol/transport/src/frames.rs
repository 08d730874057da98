//! Frames over any byte stream, blocking or (feature `tokio`) asynchronous. Lengths are checked before allocation.

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
    let mut payload = vec![0; wire::payload_len(&header, max)?];
    stream.read_exact(&mut payload)?;
    Ok(wire::message(&payload)?)
}

/// The same over tokio streams.
#[cfg(feature = "tokio")]
pub mod aio {
    use super::{HEADER_BYTES, TransportError, wire};
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
        let mut payload = vec![0; wire::payload_len(&header, max)?];
        stream.read_exact(&mut payload).await?;
        Ok(wire::message(&payload)?)
    }
}
