// Model.swift
import CoreGraphics
import CoreML
import Foundation
import ImageIO

/// `model.mlmodelc`, which Xcode puts into the app.
func openModel(_ units: MLComputeUnits = .all) throws -> MLModel {
    guard let url = Bundle.main.url(forResource: "model", withExtension: "mlmodelc") else {
        throw CocoaError(.fileNoSuchFile)
    }
    return try openModel(compiled: url, units)
}

func openModel(compiled url: URL, _ units: MLComputeUnits = .all) throws -> MLModel {
    let configuration = MLModelConfiguration()
    configuration.computeUnits = units
    return try MLModel(contentsOf: url, configuration: configuration)
}

/// Compiles a package that the app downloaded; `place` is where the compiled model is kept for the next start.
func compileModel(package url: URL, to place: URL) async throws {
    let compiled = try await MLModel.compileModel(at: url)
    try? FileManager.default.removeItem(at: place)
    try FileManager.default.moveItem(at: compiled, to: place)
}

/// The part of an upright image that the model sees, in shares of its size, from the bottom left.
func visiblePart(width: Double, height: Double) -> CGRect {
    let scale = min(width / 128, height / 128)
    let x = min(128 * scale / width, 1), y = min(128 * scale / height, 1)
    return CGRect(x: (1 - x) / 2, y: (1 - y) / 2, width: x, height: y)
}

func loadPhoto(_ url: URL) -> (image: CGImage, orientation: CGImagePropertyOrientation)? {
    guard let source = CGImageSourceCreateWithURL(url as CFURL, nil),
        let image = CGImageSourceCreateImageAtIndex(source, 0, nil)
    else { return nil }
    let properties = CGImageSourceCopyPropertiesAtIndex(source, 0, nil) as? [CFString: Any]
    let stored = properties?[kCGImagePropertyOrientation] as? UInt32 ?? 1
    return (image, CGImagePropertyOrientation(rawValue: stored) ?? .up)
}
