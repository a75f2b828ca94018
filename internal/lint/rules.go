package lint

// Rules returns every law of the repository.
func Rules() []Rule {
	return []Rule{
		{"system never imports harness", systemNeverImportsHarness},
		{"layers hold", layersHold},
		{"test helpers stay in tests", testHelpersStayInTests},
		{"pure packages stay pure", pureStayPure},
		{"exclusive imports", exclusiveImports},
		{"packages are documented", packagesAreDocumented},
		{"packages are on the map", packagesAreOnTheMap},
		{"files are short", filesAreShort},
		{"nothing is unfinished", nothingIsUnfinished},
		{"no machine paths", noMachinePaths},
		{"links resolve", linksResolve},
		{"experiments are whole", experimentsAreWhole},
		{"skips are honest", skipsAreHonest},
		{"cited tests exist", citedTestsExist},
	}
}
