"""Which FAQs can be offered as a follow-up, and in which words."""
