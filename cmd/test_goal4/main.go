// Command test_goal4 shows that a former holder's token is refused: see package goals.
package main

import "dlm/internal/goals"

func main() { goals.Main(goals.Fencing) }
