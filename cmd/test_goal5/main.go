// Command test_goal5 shows that a server which is killed loses nothing: see package goals.
package main

import "dlm/internal/goals"

func main() { goals.Main(goals.Crash) }
