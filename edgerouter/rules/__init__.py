"""The text of a rule: lexer, parser, predicates, explanation. Pure; matchers are plugins, one file each."""
