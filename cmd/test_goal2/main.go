// Command test_goal2 shows that duplicates of requests have no effect: see package goals.
package main

import "dlm/internal/goals"

func main() { goals.Main(goals.Duplicates) }
