// Command test_goal3 shows that a lock moves on when its holder stops renewing, and not before: see package goals.
package main

import "dlm/internal/goals"

func main() { goals.Main(goals.Timeout) }
