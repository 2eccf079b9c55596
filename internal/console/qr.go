package console

import (
	"strings"
	"unicode/utf8"

	"rsc.io/qr"
)

// quietZone is the margin that a scanner needs around a QR code, in modules (ISO/IEC 18004).
const quietZone = 4

// SayBelowQR prints lines as Say does, below an address as a QR code if there is room for the code, the lines and the one of
// Wait: what is last on a screen is never scrolled away.
func (s *Screen) SayBelowQR(address, text string) {
	if s.Terminal == nil || !s.redraws || !utf8Terminal(s.getenv) {
		s.Say("%s", text)
		return
	}
	columns, rows := s.Terminal.Size()
	text = foldLines(text, readable(columns))
	s.print(s.drawQR(address, columns, rows-shownRows(text, columns)-1) + text)
}

// shownRows is how many rows of a terminal a text takes.
func shownRows(text string, columns int) int {
	rows := 0
	for line := range strings.SplitSeq(text, "\n") {
		rows += max(1, (utf8.RuneCountInString(line)+columns-1)/columns)
	}
	return rows
}

// drawQR draws an address as a QR code, two rows of modules a line, or nothing if it does not fit so many columns and rows.
// Without colour only the light modules are drawn, since most terminals are dark.
func (s *Screen) drawQR(address string, columns, rows int) string {
	if address == "" {
		return ""
	}
	code, err := qr.Encode(address, qr.L)
	if size := code.Size + 2*quietZone; err != nil || size > columns || (size+1)/2 > rows {
		return ""
	}
	light := func(x, y int) bool {
		inside := x >= 0 && y >= 0 && x < code.Size && y < code.Size
		return !inside || !code.Black(x, y)
	}
	var b strings.Builder
	for y := -quietZone; y < code.Size+quietZone; y += 2 {
		if s.colour {
			b.WriteString("\x1b[97;40m")
		}
		for x := -quietZone; x < code.Size+quietZone; x++ {
			top, bottom := light(x, y), light(x, y+1)
			switch {
			case top && bottom:
				b.WriteString("█")
			case top:
				b.WriteString("▀")
			case bottom:
				b.WriteString("▄")
			default:
				b.WriteByte(' ')
			}
		}
		if s.colour {
			b.WriteString("\x1b[0m")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// utf8Terminal reports whether the locale is a UTF-8 one (POSIX, section 8.2), or none is set: a container often has none,
// though the terminal around it has UTF-8.
func utf8Terminal(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := strings.ToLower(getenv(name)); locale != "" {
			return strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
		}
	}
	return true
}
