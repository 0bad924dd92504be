//! Other libraries' threads, pools and tasks: one feature, one file, on the public API only.

#[cfg(feature = "rayon")]
pub mod rayon;
#[cfg(feature = "stream")]
pub mod stream;
#[cfg(feature = "tokio")]
pub mod tokio;
#[cfg(feature = "tower")]
pub mod tower;
