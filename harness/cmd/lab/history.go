package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"metronome/harness/check"
	"metronome/harness/driver/cluster"
	"metronome/harness/history"
)

// historySuffix tells a history file from a run.
const historySuffix = ".jsonl"

// checkHistory judges a history file again, whoever wrote it and when. It exits 0, 1 or 2: legal, not, or
// undecided. What is not legal is drawn beside the file.
func checkHistory(path string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	f, err := history.Read(in)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	r := history.Judge(&f.History, history.Standard())
	fmt.Println(r.String())
	for _, v := range r.Found {
		fmt.Println(" ", v)
	}
	if r.Finding.Key != "" {
		if err := drawHistory(strings.TrimSuffix(path, historySuffix)+".html", f, &r.Finding); err != nil {
			return err
		}
	}
	switch r.Verdict {
	case history.Legal:
		return nil
	case history.Illegal:
		return exitStatus(check.ExitFailed)
	}
	return exitStatus(check.ExitInconclusive)
}

func drawHistory(path string, f *history.File, what *history.Finding) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := history.Visualize(out, &f.History, what); err != nil {
		return err
	}
	fmt.Println("drawn in", path)
	return out.Close()
}

// trialCommand is a trial's process of the experiments that break clusters. People have no use for it.
func trialCommand() *cobra.Command {
	return &cobra.Command{Use: cluster.TrialCommand, Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cluster.Main(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		}}
}
