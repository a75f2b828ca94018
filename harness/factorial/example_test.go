package factorial_test

import (
	"context"
	"fmt"
	"time"

	"metronome/harness/factorial"
	"metronome/harness/record"
	"metronome/harness/spec"
)

// declaration is an experiment that takes a moment.
const declaration = `
name: sums
kind: factorial
driver: sums
question: Does it take longer to add up more?
conditions: virtual time
claims:
  - {name: linear, words: time of 100 over time of 10, source: common sense, metric: ms, at: most, bound: 11,
     arm: loop, cell: {n: 100}, rungs: [loop], rung_cell: {n: 10}}
arms:
  - {name: loop, what: adds one after another}
  - {name: formula, what: "n (n + 1) / 2"}
factors: [{name: n, unit: numbers, what: how many are added up}]
base: {n: 10}
metrics: [{name: ms, unit: ms, better: less, what: time it took}]
figures: [{name: time, kind: lines, what: Time against how many numbers are added up., x: n, y: [ms]}]
profiles:
  quick: {what: two sizes, minutes: 0.1, blocks: 6, vary: {n: [100]}}
`

// sums is a driver: it has nothing to start.
type sums struct{}

func (sums) Open(context.Context, factorial.Env) (factorial.Session, error) { return session{}, nil }

type session struct{}

func (session) Trial(_ context.Context, c factorial.Cell) (factorial.Outcome, error) {
	n, err := c.Int("n")
	if err != nil {
		return factorial.Outcome{}, err
	}
	took := time.Millisecond
	if c.Arm == "loop" {
		took = time.Duration(n) * time.Millisecond // a real driver would measure
	}
	return factorial.Outcome{Values: map[string]float64{"ms": float64(took.Milliseconds())}}, nil
}

func (session) Close() error { return nil }

// A declaration, a driver, a run and its verdict; lab run does the same with files.
func ExampleRunner() {
	e, err := spec.ParseFactorial([]byte(declaration))
	if err != nil {
		fmt.Println(err)
		return
	}
	plan, err := e.Plan(spec.Selection{Profile: "quick", Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	var res record.Results
	r := factorial.Runner{Plan: plan, RunID: "example", Driver: sums{},
		Steal: func() (func() float64, error) { return func() float64 { return 0 }, nil },
		Write: func(rows []record.FactorialRow, _ []record.FactorialPoint) error {
			res.Factorials = append(res.Factorials, rows...)
			return nil
		}}
	if err := r.Run(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	if err := factorial.Judge(plan, &res); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(res.Factorials), "rows")
	fmt.Println(res.Claims[0].Sentence)
	// Output:
	// 24 rows
	// time of 100 over time of 10: 10× [10, 10], n = 6: reproduced; virtual time
}
