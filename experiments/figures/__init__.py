"""The paper's figures, each in two steps: numbers from what a run has stored, and a picture from these numbers."""
