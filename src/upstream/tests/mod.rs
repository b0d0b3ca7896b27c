//! Golden answers and properties.

mod counters;
mod mapping;
