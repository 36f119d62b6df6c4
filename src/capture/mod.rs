//! Changes of tenant tables, written by triggers.
//!
//! A trigger names its capture. [`table`] keeps how that table is captured and read; [`row`] and
//! [`value`] take rows apart, [`image`] makes documents of them, and [`writer`] hands events in
//! batches to `record`, the one write path.

mod form;
mod image;
mod memory;
mod row;
mod rows;
mod settings;
mod summary;
mod table;
mod tenant;
mod trigger;
mod truncate;
mod value;
mod writer;
