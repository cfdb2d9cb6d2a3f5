// Command dlm runs commands under locks and looks at the lock manager.
package main

func main() {}
