// Package netsim is virtual time and a simulated network: the ground on which the simulator stands.
//
// Contract
//  1. One goroutine. Everything happens inside Sim.Step; nothing reads a clock or draws from global randomness, so the
//     same calls give the same run.
//  2. Events run in the order of (time, sequence of scheduling). An event scheduled for the past runs now.
//  3. The network is lossy in every way that its Faults say, also within one connection: a frame may vanish, come twice
//     (the second time much later, on whatever connection the same two ends have by then), late, or out of order.
//     Frames cross as bytes, and each delivery gets its own copy.
//  4. What happens to a message is decided by a hash of (seed, client, server, direction, number of the message on that
//     link, fault): to switch one fault off does not reshuffle what the others do.
//  5. A cut link eats what would be delivered while it is cut; ends hear nothing of it, and of the end of a connection
//     only when it is mended. A clogged link lets nothing through either, but loses nothing: what has piled up arrives at
//     once when it is released, in order, or half of it does and the connection breaks.
//
// The two ends of a connection have numbers of their own: the client's was chosen by the client (its engine), the
// server's by the network, and is never used twice.
//
//	client 0 --dial--> [ link (0,0): cut? | messages 1, 2, 3 ... ] --> server 0, connection 17
//	          <------- [       fate(seed, link, way, number)     ] <--
package netsim
