"""The words of the core: events, actions, records, rules, the back-off policy."""
