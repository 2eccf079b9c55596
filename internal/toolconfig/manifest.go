package toolconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A manifest names packages by addresses, which checkAddresses is about. It also names folders and tarballs, whose manifests
// are read in turn, and has settings for npm publish.

// isManifest reports whether a file is the manifest of a package; pnpm has three names for it.
func isManifest(name string) bool {
	return slices.ContainsFunc([]string{"package.json", "package.yaml", "package.json5"}, func(of string) bool { return strings.EqualFold(of, name) })
}

// checkManifest finds what a manifest may not have, besides addresses. The text is that of a file in folder.
func (r Repository) checkManifest(folder, name string, text []byte) error {
	if json.Valid(text) && bytes.TrimSpace(text)[0] == '{' {
		all := scanObject(text, bytes.IndexByte(text, '{')).members
		named := regexp.MustCompile(`(?i)dependencies$|^(?:workspaces|overrides|resolutions|pnpm|catalogs?)$`)
		text = slices.Clone(text)
		for _, m := range all {
			if m.name == "publishConfig" && text[m.value.start] == '{' {
				if err := checkPublishConfig(text, m.value.start); err != nil {
					return err
				}
			}
		}
		for _, m := range all {
			if !named.MatchString(m.name) {
				blank(text, m.span)
			}
		}
		return r.checkPaths(folder, text, true)
	}
	var plain []byte
	for line := range bytes.SplitSeq(joinLines(text), []byte("\n")) {
		plain = append(append(plain, plainLine(line)...), '\n')
	}
	escapes := strings.EqualFold(name, "package.json5") && bytes.IndexByte(text, '\\') >= 0 // it has more than we know
	if at := bytes.Index(bytes.ToLower(plain), []byte("publishconfig")); at >= 0 || escapes {
		return fmt.Errorf("line %d: %w", lineOf(plain, at), errForm)
	}
	return r.checkPaths(folder, text, false)
}

// checkPublishConfig is about the object that begins at start: npm takes each member for a setting, and pnpm some for the
// manifest's (docs.npmjs.com and pnpm.io, "publishConfig").
func checkPublishConfig(text []byte, start int) error {
	known := strings.Fields("registry access tag provenance directory linkDirectory executableFiles " +
		"main module types typings exports bin browser unpkg esnext es2015 umd:main typesVersions type imports cpu os " +
		"ignore sideEffects") // no settings of npm, and in use
	for _, m := range scanObject(text, start).members {
		if !slices.Contains(known, m.name) && !regexp.MustCompile(`^@[^:]*:registry$`).MatchString(m.name) {
			return fmt.Errorf("line %d: %w", lineOf(text, m.start), leadsElsewhere(m.name))
		}
	}
	return nil
}

// checkPaths finds folders that Check does not look at, and tarballs. strict is for a text in which each path is one of a package.
func (r Repository) checkPaths(folder string, text []byte, strict bool) error {
	above := regexp.MustCompile(`(?:^|[\s"'\[\]{}(),:=|!])((?:[^\s"'\[\]{}(),:=|!]*/)?\.\.)(?:[/\s"'\]}),|]|$)`)
	whole := regexp.MustCompile(`(?i)(?:file|link|portal):(?:/+(?:[^./\s"']|\.[^./])|~|[a-z]:/)`)
	bare := regexp.MustCompile(`(?i)"(?:/|~/|[a-z]:/)`)
	tarball := regexp.MustCompile(`(?i)([^\s"'()\[\]{},]*)\.(?:tgz|tar|tar\.gz)(?:[\s"'\]}),?#]|::|$)`)
	for n, line := range strings.Split(string(joinLines(text)), "\n") {
		if !strict && strings.HasPrefix(strings.TrimLeft(line, " \t"), "#") {
			continue
		}
		if strings.IndexByte(line, '%') >= 0 {
			line = string(decode([]byte(line), regexp.MustCompile(`%([0-9a-fA-F]{2})`)))
		}
		line = strings.ReplaceAll(string(plainLine([]byte(line))), `\`, "/")
		if !strings.Contains(line, "..") && !strings.ContainsAny(line, "/~") && !strings.Contains(line, ".t") && !strings.Contains(line, ".T") {
			continue // fast, for most lines of a lock file
		}
		for _, found := range tarball.FindAllStringSubmatch(line, -1) {
			if !strings.Contains(found[1], "://") || strings.Contains(strings.ToLower(found[1]), "file:") {
				return fmt.Errorf("line %d: it names a tarball of the repository, whose manifest is not looked at: unpack it into a folder", n+1)
			}
		}
		outside := whole.MatchString(line) || strict && bare.MatchString(line)
		for _, found := range above.FindAllStringSubmatch(line, -1) {
			to := filepath.Join(folder, filepath.FromSlash(found[1]))
			outside = outside || !slices.ContainsFunc(r.roots, func(root string) bool { return isBelow(to, root) })
		}
		if outside {
			return fmt.Errorf("line %d: %w", n+1, errOutside)
		}
	}
	return nil
}

var errOutside = errors.New("it names a folder outside of the repository, which is not looked at")

// joinLines puts a line that ends with a backslash and the next one together, as YAML and JSON5 do.
func joinLines(text []byte) []byte {
	return regexp.MustCompile(`\\\r?\n[ \t]*`).ReplaceAll(text, nil)
}

// isBelow reports whether a path is a folder or one below it.
func isBelow(path, folder string) bool {
	to, err := filepath.Rel(folder, path)
	return err == nil && to != ".." && !strings.HasPrefix(to, ".."+string(filepath.Separator))
}

// blank puts blanks in the place of a part of a text. The lines stay.
func blank(text []byte, part span) {
	for i := part.start; i < part.end; i++ {
		if text[i] != '\n' {
			text[i] = ' '
		}
	}
}

// places returns the names of a folder: what a shell and Go say, and where it is, which Node says.
func places(folder string) ([]string, error) {
	logical, err := filepath.Abs(folder)
	if err != nil {
		return nil, fmt.Errorf("finding the repository: %w", err)
	}
	if !filepath.IsAbs(folder) { // not by Join, which would take link/.. for nothing
		here, err := filepath.Abs(".")
		if err != nil {
			return nil, fmt.Errorf("finding the repository: %w", err)
		}
		folder = here + string(filepath.Separator) + folder
	}
	physical, err := filepath.EvalSymlinks(folder)
	if err != nil {
		return nil, fmt.Errorf("finding the repository: %w", err)
	}
	if physical == logical {
		return []string{logical}, nil
	}
	return []string{logical, physical}, nil
}
