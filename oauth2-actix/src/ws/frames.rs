//! Limits the length of a client's frames. actix-ws buffers a whole frame before it checks the length.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    error::PayloadError,
    web::{self, Bytes},
};
use futures_util::{Stream, ready};

/// The maximum length of a frame, in bytes.
#[derive(Clone, Debug)]
pub(super) struct MaxFrameSize(Arc<AtomicUsize>);

impl MaxFrameSize {
    /// Returns the default of actix-ws.
    pub(super) fn by_default() -> Self {
        Self(Arc::new(AtomicUsize::new(64 * 1024)))
    }

    pub(super) fn set(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    /// Returns a body that fails where a frame begins that is too long.
    pub(super) fn limit(
        &self,
        request: &HttpRequest,
        body: web::Payload,
    ) -> Result<web::Payload, actix_web::Error> {
        let frames = Frames {
            payload: body.into_inner(),
            max: self.clone(),
            header: Header::default(),
            remaining: 0,
        };
        let payload: BoxedPayload = Box::pin(frames);
        let mut payload = Payload::Stream { payload };
        // actix has no other constructor.
        web::Payload::from_request(request, &mut payload).into_inner()
    }
}

type BoxedPayload = Pin<Box<dyn Stream<Item = Result<Bytes, PayloadError>>>>;

struct Frames {
    payload: Payload,
    max: MaxFrameSize,
    header: Header,
    /// The rest of a frame whose header is complete, in bytes.
    remaining: u64,
}

impl Frames {
    /// Reads the next bytes. Returns false if a frame in them is too long.
    fn accept(&mut self, mut bytes: &[u8]) -> bool {
        let max = self.max.0.load(Ordering::Relaxed) as u64;
        while let Some((byte, others)) = bytes.split_first() {
            if self.remaining > 0 {
                let count = self.remaining.min(bytes.len() as u64);
                self.remaining -= count;
                bytes = &bytes[count as usize..];
                continue;
            }
            bytes = others;
            if let Some(length) = self.header.next(*byte) {
                if length > max {
                    return false;
                }
                self.header = Header::default();
                self.remaining = length;
            }
        }
        true
    }
}

impl Stream for Frames {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = ready!(Pin::new(&mut self.payload).poll_next(context));
        Poll::Ready(match polled {
            Some(Ok(bytes)) if !self.accept(&bytes) => Some(Err(PayloadError::Overflow)),
            polled => polled,
        })
    }
}

/// The part of a frame's header that was received (RFC 6455 §5.2): two bytes, a longer length, a mask.
#[derive(Default)]
struct Header {
    bytes: [u8; 14],
    count: usize,
}

impl Header {
    /// Adds a byte. Returns the length of the payload, once the header is complete.
    fn next(&mut self, byte: u8) -> Option<u64> {
        self.bytes[self.count] = byte;
        self.count += 1;
        let second = self.bytes[1];
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        (self.count >= 2 && self.count == 2 + extended + mask).then(|| match extended {
            0 => u64::from(second & 0x7f),
            _ => self.bytes[2..2 + extended]
                .iter()
                .fold(0, |length, byte| length << 8 | u64::from(*byte)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_measured_at_every_split() {
        let frames = [
            b"\x81\x83mask123".to_vec(),
            b"\x89\x80mask".to_vec(),
            b"\x81\x03123".to_vec(),
            [b"\x82\xfe\x01\0mask".to_vec(), vec![0xff; 256]].concat(),
            [b"\x82\xff\0\0\0\0\0\0\x01\0mask".to_vec(), vec![0xff; 256]].concat(),
        ]
        .concat();
        let measure = |max, bytes: &[u8], cut| {
            let size = MaxFrameSize::by_default();
            size.set(max);
            let payload = Payload::None;
            let mut all = Frames { payload, max: size, header: Header::default(), remaining: 0 };
            bytes.chunks(cut).all(|part| all.accept(part))
        };
        for cut in 1..frames.len() {
            assert!(measure(256, &frames, cut), "{cut}");
            assert!(!measure(255, &frames, cut), "{cut}");
            assert!(!measure(
                usize::MAX >> 1,
                b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xffmask",
                cut
            ));
        }
    }
}
