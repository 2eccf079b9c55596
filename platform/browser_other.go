//go:build unix && !linux && !darwin

package platform

// launchers knows none for this system: only $BROWSER is asked.
func launchers(func(string) string) [][]string { return nil }
