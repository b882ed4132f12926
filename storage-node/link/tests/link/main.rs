//! The link over real sockets: what it does for honest nodes while others attack. Names carry the ids of the threats.

mod floods;
mod frames;
mod handshakes;
mod loss;
mod nodes;
