package platform

import (
	"os"
	"slices"
)

// launchers are the ways to the person's own browser, the most general first. Without a graphical session most would
// only find browsers for a terminal, which they do not have.
func launchers(getenv func(string) string) [][]string {
	all := graphicalLaunchers(getenv)
	if wsl(getenv, os.ReadFile, false) != "" {
		return slices.Concat(windowsLaunchers(), all)
	}
	return all
}

func graphicalLaunchers(getenv func(string) string) [][]string {
	if windowSystem(getenv) == "" {
		return nil
	}
	return [][]string{{"xdg-open"}, {"gio", "open"}, {"x-www-browser"}, {"firefox"}, {"chromium"}, {"google-chrome"}}
}

// windowsLaunchers are the ways from WSL to the browser of Windows. PowerShell reads its arguments as a program, and
// [checkLoopbackURL] leaves nothing in the URL that means anything to it. It is where every Windows has it.
func windowsLaunchers() [][]string {
	return [][]string{
		{"wslview"},
		{"/mnt/c/Windows/System32/WindowsPowerShell/v1.0/powershell.exe", "-NoProfile", "-NonInteractive", "-Command", "Start-Process"},
	}
}
