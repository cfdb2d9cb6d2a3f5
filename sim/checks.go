package sim

// Required are the numbers that every batch of seeds must have checked at least once, with the parts of a number that are
// checked in different ways. A batch in which one of them counts zero has looked at nothing there, and fails.
func Required() []string {
	return []string{
		"G1", "G2", "G3", "G3 file",
		"G4", "G4 sent", "G4 reply", "G4 once", "G4 passed over",
		"G5", "G5 reply", "G5 file", "G5 image", "G5 refused", "G5 state", "G5 twin", "G5 vote", "G5 term", "G5 backup", "G3 restore", "G5 unfinished restore",
		"G6", "G6 read", "G6 order", "G6 history",
		"G7", "G8", "G8 cancel", "G8 orphans", "G9", "G10", "G10 disk full", "G10 reserve",
		"L1", "L2", "L3", "L4", "L5",
	}
}
