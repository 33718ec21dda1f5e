"""What the history tells an operator: which questions go unanswered, and how answers fare."""
