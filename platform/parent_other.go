//go:build !linux && !darwin

package platform

// parentName is not worth its time on Windows, which has to list all processes.
func parentName() string { return "" }
