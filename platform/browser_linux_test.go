package platform

import (
	"os"
	"slices"
	"testing"
)

func TestLaunchers(t *testing.T) {
	if wsl(func(string) string { return "" }, os.ReadFile, false) != "" {
		t.Skip("this machine is WSL itself")
	}
	const powershell = "/mnt/c/Windows/System32/WindowsPowerShell/v1.0/powershell.exe"
	desktop := []string{"xdg-open", "gio", "x-www-browser", "firefox", "chromium", "google-chrome"}
	for _, row := range []struct {
		reason string
		env    map[string]string
		want   []string
	}{
		{"nowhere", nil, nil},
		{"X11", map[string]string{"DISPLAY": ":0"}, desktop},
		{"Wayland", map[string]string{"WAYLAND_DISPLAY": "wayland-0"}, desktop},
		{"WSL", map[string]string{"WSL_DISTRO_NAME": "Debian"}, []string{"wslview", powershell}},
		{"WSL with windows of its own", map[string]string{"WSL_DISTRO_NAME": "Debian", "DISPLAY": ":0"}, append([]string{"wslview", powershell}, desktop...)},
	} {
		var names []string
		for _, argv := range launchers(func(name string) string { return row.env[name] }) {
			names = append(names, argv[0])
			if argv[0] == powershell && !slices.Equal(argv[1:], []string{"-NoProfile", "-NonInteractive", "-Command", "Start-Process"}) {
				t.Errorf("PowerShell is given %q", argv[1:])
			}
		}
		if !slices.Equal(names, row.want) {
			t.Errorf("%s: %q, want %q", row.reason, names, row.want)
		}
	}
}
