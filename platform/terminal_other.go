//go:build unix && !linux && !darwin

package platform

func graphical(getenv func(string) string) bool {
	return getenv("DISPLAY") != "" || getenv("WAYLAND_DISPLAY") != ""
}
