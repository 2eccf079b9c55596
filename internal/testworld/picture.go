package testworld

import (
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// checkPicture is "picture FILE SVG": the SVG of a terminal shows the lines of the file, and no others but commands behind "$ ".
// Numbers, sums and the order of a list may differ.
func checkPicture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: picture FILE SVG")
	}
	shown, err := drawn(strings.NewReader(ts.ReadFile(args[1])))
	ts.Check(err)
	said := map[string]bool{}
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		said[steady(line)] = true
	}
	delete(said, "")
	for _, line := range shown {
		if line != "" && !said[line] && !strings.HasPrefix(line, "$ ") {
			ts.Fatalf("%s shows %q, which was not printed", args[1], line)
		}
	}
	for line := range said {
		if !slices.Contains(shown, line) {
			ts.Fatalf("%q was printed, and %s does not show it", line, args[1])
		}
	}
}

// drawn returns the lines of an SVG as svg-term draws them: each line is a symbol.
func drawn(svg io.Reader) ([]string, error) {
	var lines, words []string
	inText := false
	for d := xml.NewDecoder(svg); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return lines, nil
		} else if err != nil {
			return nil, err
		}
		switch e := token.(type) {
		case xml.StartElement:
			if inText = e.Name.Local == "text"; e.Name.Local == "symbol" {
				words = nil
			}
		case xml.CharData:
			if inText {
				words = append(words, string(e))
			}
		case xml.EndElement:
			if inText = false; e.Name.Local == "symbol" {
				lines = append(lines, steady(strings.Join(words, " ")))
			}
		}
	}
}

var (
	sums    = regexp.MustCompile(`sha256:[0-9a-f]+`)
	numbers = regexp.MustCompile(`(\d+m)?\d+(\.\d+)?`) // also of a time such as 1m0s
)

// steady is a line without what differs from run to run.
func steady(line string) string {
	line = strings.Join(strings.Fields(line), " ")
	if before, list, ok := strings.Cut(line, "asked for "); ok {
		all := strings.Split(list, ", ")
		slices.Sort(all)
		line = before + "asked for " + strings.Join(all, ", ")
	}
	return numbers.ReplaceAllString(sums.ReplaceAllString(line, "SUM"), "0")
}
