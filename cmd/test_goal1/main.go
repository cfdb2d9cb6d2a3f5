// Command test_goal1 shows that calls survive packet loss: see package goals.
package main

import "dlm/internal/goals"

func main() { goals.Main(goals.Loss) }
