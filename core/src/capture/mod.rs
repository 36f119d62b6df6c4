//! Captured tables: what they are called, how their columns move, and what their rows were.

pub mod columns;
pub mod naming;
pub mod replay;
