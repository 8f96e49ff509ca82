// VisionModel.swift
import CoreGraphics
import CoreML
import CoreVideo
import ImageIO
import Vision

final class VisionModel {
    private let request: VNCoreMLRequest

    init(_ model: MLModel) throws {
        request = VNCoreMLRequest(model: try VNCoreMLModel(for: model))
        request.imageCropAndScaleOption = .scaleFill  // the part is cut out before
    }

    func run(_ image: CGImage, _ orientation: CGImagePropertyOrientation) throws -> [VNClassificationObservation] {
        let handler = VNImageRequestHandler(cgImage: image, orientation: orientation)
        return try run(handler, Double(image.width), Double(image.height), orientation)
    }

    func run(_ frame: CVPixelBuffer, _ orientation: CGImagePropertyOrientation) throws -> [VNClassificationObservation] {
        let handler = VNImageRequestHandler(cvPixelBuffer: frame, orientation: orientation)
        let width = CVPixelBufferGetWidth(frame), height = CVPixelBufferGetHeight(frame)
        return try run(handler, Double(width), Double(height), orientation)
    }

    private func run(
        _ handler: VNImageRequestHandler, _ width: Double, _ height: Double,
        _ orientation: CGImagePropertyOrientation
    ) throws -> [VNClassificationObservation] {
        let turned = orientation.rawValue > 4  // width and height change places
        request.regionOfInterest = visiblePart(width: turned ? height : width, height: turned ? width : height)
        try handler.perform([request])
        return request.results as? [VNClassificationObservation] ?? []  // the most probable class first
    }
}
