package console

import (
	"strings"

	"rsc.io/qr"
)

// quietZone is the margin that a scanner needs around a QR code, in modules (ISO/IEC 18004).
const quietZone = 4

// DrawQR draws an address as a QR code, two rows of modules a line. It draws nothing if there is no terminal, or one that is
// too narrow, is dumb or has no UTF-8. Without colour only the light modules are drawn, since most terminals are dark.
func (s *Screen) DrawQR(address string) {
	if address == "" || s.Terminal == nil || !s.redraws || !utf8Terminal(s.getenv) {
		return
	}
	code, err := qr.Encode(address, qr.L)
	if err != nil || code.Size+2*quietZone > s.Terminal.Width() {
		return
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
	s.print(b.String())
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
