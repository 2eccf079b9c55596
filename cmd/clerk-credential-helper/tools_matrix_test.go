package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"clerk-credential-helper/internal/testworld"
	"clerk-credential-helper/protocol"
)

// TestMatrix holds docs/tools/matrix.md to the scripts: a script that begins with
//
//	# matrix: TOOL | PAGE | SET-UP | CLIENT
//
// is a row of the table. CLIENT is the command that prints the client's version, or "golden:" and what was compared with
// where no client can be had. The set-up must stand on the page as it does here. Versions are those of the machine
// where the file was written last, by
//
//	go test ./cmd/clerk-credential-helper -run TestMatrix -update
//
// which leaves the cell of a client that does not run as it is. Where everything must be there, the clients' major
// versions must still be those.
func TestMatrix(t *testing.T) {
	const file = "matrix.md"
	docs := filepath.Join("..", "..", "docs", "tools")
	before, err := os.ReadFile(filepath.Join(docs, file))
	if err != nil {
		t.Error(err)
	}
	scripts, err := filepath.Glob(filepath.Join("testdata", "script", "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	out.WriteString("# Tools\n\nWritten by TestMatrix from the scripts that it names; do not edit.\n\n| tool | set up | proven by |\n|---|---|---|\n")
	var pages []string
	for _, script := range scripts {
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		line, _, _ := strings.Cut(string(text), "\n")
		row, ok := strings.CutPrefix(line, "# matrix: ")
		if !ok {
			continue
		}
		cells := strings.Split(row, " | ")
		if len(cells) != 4 {
			t.Errorf("%s: %d cells in %q, not 4", script, len(cells), line)
			continue
		}
		tool, page, setUp, client := cells[0], cells[1], cells[2], cells[3]
		pages = append(pages, page)
		if shown, err := os.ReadFile(filepath.Join(docs, page)); err != nil || !strings.Contains(string(shown), setUp) {
			t.Errorf("%s does not say %q (%v)", page, setUp, err)
		}
		if !strings.Contains(string(text), "\nasked token:refresh_token 1\n") {
			t.Errorf("%s does not show one refresh after the token's end", script)
		}
		head := fmt.Sprintf("| [%s](%s) | `%s` | ", tool, page, setUp)
		program, _, _ := strings.Cut(client, " ")
		if !strings.HasPrefix(client, "golden: ") && !strings.Contains(string(text), program+" ") {
			t.Errorf("%s never calls %s", script, program)
		}
		fmt.Fprintf(&out, "%s%s |\n", head, proven(t, string(before), head, client))
	}
	page, err := os.ReadFile(filepath.Join(docs, "package-managers.md"))
	if err != nil {
		t.Fatal(err)
	}
	pages = append(pages, "package-managers.md")
	out.WriteString("\n## By exec, for one command\n\n| tool | command | proven by |\n|---|---|---|\n")
	for _, tool := range protocol.RecipeTools() {
		command := regexp.MustCompile("`(clerk-credential-helper exec --for " + tool + " [^`]*)`").FindSubmatch(page)
		client, ok := forClients()[tool]
		if command == nil && slices.Contains([]string{"pnpm", "yarn", "bun"}, tool) {
			command = [][]byte{nil, []byte("clerk-credential-helper exec --for " + tool + " -- make deps")}
		}
		if command == nil || !ok {
			t.Errorf("%s: %q on the page, and %q proves it", tool, command, client)
			continue
		}
		head := fmt.Sprintf("| [%s](package-managers.md) | `%s` | ", tool, command[1])
		proof := recorded(string(before), head)
		if !slowClient(tool) || proof == "" || testworld.Updating() {
			proof = proven(t, string(before), head, client)
		}
		fmt.Fprintf(&out, "%s%s |\n", head, proof)
	}
	all, err := filepath.Glob(filepath.Join(docs, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		if page := filepath.Base(path); page != file && !slices.Contains(pages, page) {
			t.Errorf("docs/tools/%s belongs to no script", page)
		}
	}
	testworld.Golden(t, filepath.Join(docs, file), out.String())
}

// proven returns the last cell of a row: the client's versions, of this machine or as the file has them, or what it is compared with.
func proven(t *testing.T, before, head, client string) string {
	if strings.HasPrefix(client, "golden: ") {
		return client
	}
	proof := recorded(before, head)
	if testworld.Updating() || os.Getenv("CI") == "true" {
		now := versions(t, client)
		if testworld.Updating() && now != "" {
			proof = now
		}
		if now != "" && majors(now) != majors(proof) {
			t.Errorf("%s says version %s, the table %s", client, now, proof)
		}
	}
	if proof == "" {
		t.Errorf("the table has no version of %q, and it does not run here", client)
	}
	return proof
}

// recorded is the last cell of the row in the file that begins with head.
func recorded(file, head string) string {
	_, rest, _ := strings.Cut(file, head)
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSuffix(line, " |")
}

// versions runs the commands, parted by ";", and gives "COMMAND VERSION, ...", or nothing if one does not run here.
func versions(t *testing.T, commands string) string {
	var all []string
	for command := range strings.SplitSeq(commands, "; ") {
		words := strings.Fields(command)
		env := append(os.Environ(), "HOME="+t.TempDir(), "CHECKPOINT_DISABLE=1")
		for name, value := range testworld.Toolchains() {
			env = append(env, name+"="+value)
		}
		out, err := testworld.Run(t.Context(), env, words...)
		if err != nil {
			if testworld.Required(words[0]) {
				t.Error(err)
			}
			t.Logf("SKIP, the version is not compared: %v", err)
			return ""
		}
		version := regexp.MustCompile(`[0-9]+(\.[0-9]+)+`).FindString(out)
		if version == "" {
			t.Errorf("%s: no version in %q", command, out)
			return ""
		}
		name := words[0]
		if i := slices.Index(words, "-m"); i > 0 {
			name = words[i+1]
		}
		if name == "git" && len(words) == 3 {
			name += "-" + words[1]
		}
		all = append(all, strings.TrimRight(name, "0123456789")+" "+version)
	}
	return strings.Join(all, ", ")
}

// majors leaves only the first number of each version.
func majors(versions string) string {
	return regexp.MustCompile(`([0-9]+)(\.[0-9]+)+`).ReplaceAllString(versions, "$1")
}
