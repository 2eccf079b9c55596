package doctor

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"clerk-credential-helper/internal/console"
)

// outcomes are the states of findings on a screen.
var outcomes = map[State]console.Outcome{Fine: console.Good, Doubt: console.Doubtful, Failing: console.Bad}

// tell prints a finding without its remedy.
func (f Finding) tell(c *console.Console, w io.Writer) {
	c.Mark(w, outcomes[f.State], f.Check+": "+f.Detail)
}

// Print prints findings for people, those that fail last, each with its remedy; then the verdict, which names what failed. What
// is fine is only named, unless verbose is set. It reports whether a check failed.
func Print(c *console.Console, findings []Finding, verbose bool) (failed bool) {
	var fine []string
	for _, f := range findings {
		if f.State == Fine {
			fine = append(fine, f.Check)
		}
	}
	if !verbose && fine != nil {
		c.Mark(c.Out, console.Good, strings.Join(slices.Compact(fine), ", "))
	}
	fixable := false
	for _, state := range []State{Fine, Doubt, Failing} {
		for _, f := range merged(findings, state) {
			if state == Fine && !verbose {
				continue
			}
			f.tell(c, c.Out)
			if f.Remedy != "" {
				console.Fact(c.Out, "", "-> "+f.Remedy)
			}
			fixable = fixable || f.Offers != nil
		}
	}
	fmt.Fprintln(c.Out)
	if fixable {
		console.Paragraph(c.Out, "some of it can be fixed: clerk-credential-helper doctor --fix")
	}
	outcome, words := verdict(findings)
	if outcome == console.Good && !verbose {
		words += "; --verbose shows each"
	}
	c.Verdict(outcome, words)
	return outcome == console.Bad
}

// merged are the findings of a state. Those of one check that have the same remedy are one: they have the same cause.
func merged(findings []Finding, state State) []Finding {
	var all []Finding
	for _, f := range findings {
		if f.State != state {
			continue
		}
		last := len(all) - 1
		if state != Fine && last >= 0 && all[last].Check == f.Check && all[last].Remedy == f.Remedy {
			all[last].Detail += "; " + f.Detail
			all[last].Offers = append(slices.Clone(all[last].Offers), f.Offers...)
			continue
		}
		all = append(all, f)
	}
	return all
}

// verdict is the answer of all findings together.
func verdict(findings []Finding) (console.Outcome, string) {
	count := func(state State) (n int, names string) {
		var checks []string
		for _, f := range findings {
			if f.State == state {
				n++
				checks = append(checks, f.Check)
			}
		}
		return n, strings.Join(slices.Compact(checks), ", ")
	}
	failed, failing := count(Failing)
	doubts, doubtful := count(Doubt)
	warnings := fmt.Sprintf("%d warnings: %s", doubts, doubtful)
	if doubts == 1 {
		warnings = "1 warning: " + doubtful
	}
	switch {
	case failed > 0 && doubts > 0:
		return console.Bad, fmt.Sprintf("%d of %d checks failed: %s; %s", failed, len(findings), failing, warnings)
	case failed > 0:
		return console.Bad, fmt.Sprintf("%d of %d checks failed: %s", failed, len(findings), failing)
	case doubts > 0:
		return console.Doubtful, fmt.Sprintf("no check of %d failed; %s", len(findings), warnings)
	}
	return console.Good, fmt.Sprintf("all %d checks passed", len(findings))
}
