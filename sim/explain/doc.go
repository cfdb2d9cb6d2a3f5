// Package explain tells a person what a failure of the simulator is: the command that repeats it, the promise that broke, in
// words, the smallest plan that breaks it, and the events that lead there.
package explain
