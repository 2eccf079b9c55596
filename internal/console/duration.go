package console

import (
	"fmt"
	"time"
)

// Life formats a duration for people: "23h59m", "4m", "12s", or "no time" if it is not positive. It rounds down.
func Life(d time.Duration) string {
	switch {
	case d <= 0:
		return "no time"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}
