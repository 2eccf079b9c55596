package main

// companionCommand is for those who run a companion page (companion/README.md).
type companionCommand struct {
	Add   companionAddCommand   `cmd:"" help:"Write the companion page into a Next.js app."`
	Check companionCheckCommand `cmd:"" help:"Probe a companion page that is deployed, line by line."`
}
