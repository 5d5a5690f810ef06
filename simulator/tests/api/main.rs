//! The simulator over real HTTP, as its callers meet it.

#[cfg(test)]
mod behaviours;
#[cfg(test)]
mod control;
#[cfg(test)]
mod doors;
#[cfg(test)]
mod interrupt;
#[cfg(test)]
mod reads;
#[cfg(test)]
mod records;
#[cfg(test)]
mod support;
