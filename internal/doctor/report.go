package doctor

import (
	"clerk-credential-helper/internal/console"
)

// Report is the document that "doctor --json" prints. Its schema is docs/schemas/doctor.schema.json.
type Report struct {
	State State `json:"state"` // the worst of the checks: ok, warning or failed
	// Checks has at least one finding for each of the ids, in a fixed order.
	Checks []Finding `json:"checks"`
}

// checks are the ids of all checks, in the order of Run, with what is so where Run has no finding: what was looked at and was
// in order, or that there was nothing to look at.
func checks() []Finding {
	quiet := func(id, detail string) Finding { return Finding{ID: id, Check: id, State: Fine, Detail: detail} }
	skipped := func(id, why string) Finding { return Finding{ID: id, Check: id, State: Skipped, Detail: why} }
	return []Finding{
		quiet("user", "what is looked at is this user's own"),
		skipped("configuration", "it was not read"),
		skipped("policy", "there is none, or the configuration cannot be used"),
		skipped("store", "it was not looked at"),
		skipped("locks", "the store is switched off, or does not work"),
		quiet("files", "all are closed to others"),
		quiet("environment", "no variable is wrong"),
		skipped("proxy", "none is set"),
		skipped("injected", "the environment brings no token"),
		skipped("issuer", "there is no profile, or the configuration cannot be used"),
		skipped("clock", "no issuer has said what time it is"),
		skipped("keys", "no issuer has answered"),
		skipped("session", "there is no profile for people, or the store does not work"),
		skipped("machine", "there is no profile of a machine, or the environment brings its token"),
		skipped("listener", "no user signs in here"),
		skipped("browser", "no user signs in here"),
		quiet("program", "all names are in the PATH"),
		skipped("git", "it is not used, or there is no profile"),
		skipped("docker", "it is not used, or there is no profile"),
		skipped("tool", "no other tool is set up"),
		quiet("history", "an entry can be written, or none is kept"),
	}
}

// NewReport makes the document of what Run has found.
func NewReport(findings []Finding) Report {
	r := Report{State: Fine}
	found := map[string]bool{}
	for _, f := range findings {
		found[f.ID] = true
		if f.State == Failing || f.State == Doubt && r.State == Fine {
			r.State = f.State
		}
	}
	r.Checks = append(r.Checks, findings...)
	for _, c := range checks() {
		if !found[c.ID] {
			r.Checks = append(r.Checks, c)
		}
	}
	return r
}

// States, which are those of all documents.
const (
	Fine    State = console.StateOK
	Doubt   State = console.StateWarning // tools work, or it was configured so; the user should know
	Failing State = console.StateFailed
	Skipped State = console.StateSkipped // in a Report only
)
