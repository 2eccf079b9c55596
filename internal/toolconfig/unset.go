package toolconfig

import (
	"fmt"
	"path/filepath"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
)

// UnsetAll returns the edits, for Apply, that undo Setup and SetupAll in every tool whose file has lines of ours, as
// Tool.Inspect finds them, or beside whose file a backup of setup is left. A tool whose file cannot be found, read or parsed
// is left out, with a reason that names it, and does not keep the others.
func UnsetAll(env Env) (edits []Edit, leftOut []error) {
	for _, t := range Tools() {
		file, ours, err := t.Inspect(env)
		if err == nil && !ours && !backedUp(file) {
			continue
		}
		var some []Edit
		if err == nil {
			some, err = t.Unset(env, &config.Config{}, nil, "")
		}
		for _, e := range some {
			if _, wrong := newDraft(e); wrong != nil && err == nil {
				file, err = e.File, wrong
			}
		}
		if err != nil {
			leftOut = append(leftOut, fmt.Errorf("%s: %s: %w; nothing was changed there", t.Name, file, err))
			continue
		}
		edits = append(edits, some...)
	}
	return edits, leftOut
}

// LeftAll returns what Tool.Left returns for all tools. A file that cannot be read has nothing to say.
func LeftAll(env Env) []string {
	var all []string
	for _, t := range Tools() {
		left, _ := t.Left(env)
		all = append(all, left...)
	}
	return all
}

// backedUp reports whether setup has left a backup of a file.
func backedUp(file string) bool {
	if real, err := filepath.EvalSymlinks(file); err == nil {
		file = real
	}
	return file != "" && platform.IsPlain(file+backupSuffix)
}
