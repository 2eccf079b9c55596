package platform

// launchers are the ways to the person's own browser, the most general first. Without a graphical session they would
// only find browsers for a terminal, which they do not have.
func launchers(getenv func(string) string) [][]string {
	var all [][]string
	if isWSL(getenv) {
		all = append(all, []string{"wslview"})
	}
	if !Graphical(getenv) {
		return all
	}
	return append(all, []string{"xdg-open"}, []string{"gio", "open"}, []string{"x-www-browser"},
		[]string{"firefox"}, []string{"chromium"}, []string{"google-chrome"})
}

func isWSL(getenv func(string) string) bool { return getenv("WSL_DISTRO_NAME") != "" }
