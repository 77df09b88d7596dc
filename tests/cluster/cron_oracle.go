package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// cronOracle answers each line "zone|instant|schedule" of its input with the next runs after the instant, as
// kube-controller-manager computes them: instants in UTC, "never" where the search ends without one, "ERR" where
// kube-apiserver refuses the schedule. Its argument is how many runs to name.
//
// ZONEINFO must name a directory with the zones' data, so that the caller knows the release that the answers are of.
func cronOracle() {
	count := 0
	if len(os.Args) == 2 {
		count, _ = strconv.Atoi(os.Args[1])
	}
	if count < 1 || os.Getenv("ZONEINFO") == "" {
		fmt.Fprintln(os.Stderr, "usage: ZONEINFO=DIRECTORY kube cron-oracle RUNS")
		os.Exit(2)
	}
	lines, answers := bufio.NewScanner(os.Stdin), bufio.NewWriter(os.Stdout)
	for lines.Scan() {
		zone, rest, _ := strings.Cut(lines.Text(), "|")
		instant, schedule, found := strings.Cut(rest, "|")
		after, err := time.Parse(time.RFC3339Nano, instant)
		location, zoneErr := time.LoadLocation(zone)
		if !found || err != nil || zoneErr != nil {
			fmt.Fprintf(os.Stderr, "not zone|instant|schedule: %q (%v, %v)\n", lines.Text(), err, zoneErr)
			os.Exit(2)
		}
		fmt.Fprintln(answers, nextRuns(schedule, after.In(location), count))
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := answers.Flush(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func nextRuns(text string, after time.Time, count int) (answer string) {
	// The parser panics on "TZ=" without a blank after it.
	defer func() {
		if recover() != nil {
			answer = "ERR"
		}
	}()
	schedule, err := cron.ParseStandard(text)
	if err != nil {
		return "ERR"
	}
	// As formatSchedule in k8s.io/kubernetes/pkg/controller/cronjob does.
	if !strings.Contains(text, "TZ") {
		if schedule, err = cron.ParseStandard(fmt.Sprintf("TZ=%s %s", after.Location(), text)); err != nil {
			return "ERR"
		}
	}
	runs := make([]string, 0, count)
	for range count {
		if after = schedule.Next(after); after.IsZero() {
			runs = append(runs, "never")
			break
		}
		runs = append(runs, after.UTC().Format(time.RFC3339Nano))
	}
	return strings.Join(runs, " ")
}
