package org.example.edgevit

// Answer.kt
import kotlin.math.exp

/** One class; its name is its number where there are no labels. */
data class Answer(val index: Int, val name: String, val probability: Float)

/** All classes, the most probable one first. */
fun answers(logits: FloatArray, labels: List<String> = emptyList()): List<Answer> {
    val largest = logits.max()
    val powers = logits.map { exp(it - largest) }
    val sum = powers.sum()
    val probabilities = powers.map { it / sum } // softmax
    return probabilities.indices
        .sortedByDescending { probabilities[it] }
        .map { Answer(it, labels.getOrElse(it) { index -> "$index" }, probabilities[it]) }
}
